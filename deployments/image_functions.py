"""The functions that nodes of the IMAGE stage call."""

from dataclasses import dataclass

import deployments.patterns
import imaging.clip_noise
import imaging.clip_pictures
import imaging.color_matching
import imaging.colors
import imaging.compositing
import imaging.decode
import imaging.details
import imaging.filters
import imaging.fitting
import imaging.fitting_padded
import imaging.growing
import imaging.inpainting
import imaging.kontext
import imaging.masks
import imaging.morphology
import imaging.quantize
import imaging.resize
import imaging.segs
import imaging.stitch
import imaging.transform
import preprocessors.anyline
import preprocessors.binary
import preprocessors.canny
import preprocessors.canny_edges
import preprocessors.color
import preprocessors.depth_anything
import preprocessors.dwpose
import preprocessors.face_keypoints
import preprocessors.face_restore
import preprocessors.face_swap
import preprocessors.faces
import preprocessors.hed
import preprocessors.inpaint
import preprocessors.leres
import preprocessors.lineart
import preprocessors.lineart_anime
import preprocessors.lineart_manga
import preprocessors.lineart_standard
import preprocessors.midas
import preprocessors.mlsd
import preprocessors.normal_bae
import preprocessors.oneformer
import preprocessors.openpose
import preprocessors.pidinet
import preprocessors.pyracanny
import preprocessors.recolor
import preprocessors.sam
import preprocessors.scribble
import preprocessors.shuffle
import preprocessors.teed
import preprocessors.tile
import preprocessors.uniformer
import preprocessors.yolo_parts
import preprocessors.zoe
from deployments.batch_functions import NodeBatches
from deployments.media_functions import NodeMedia
from media.limits import MediaLimits
from media.probe import DEFAULT_LIMITS
from preprocessors.detectors import Detectors


@dataclass(frozen=True)
class NodeImaging(NodeMedia, NodeBatches):
    """The image stage as its nodes see it: functions, and the networks that some of them take."""

    detectors: Detectors
    media_limits: MediaLimits = DEFAULT_LIMITS

    image_size = staticmethod(imaging.colors.image_size)
    decode_image = staticmethod(imaging.decode.decode_image)
    decode_with_alpha = staticmethod(imaging.decode.decode_with_alpha)
    empty_image = staticmethod(imaging.colors.empty_image)
    crop_image = staticmethod(imaging.transform.crop_image)
    rotate_image = staticmethod(imaging.transform.rotate_image)
    flip_image = staticmethod(imaging.transform.flip_image)
    pad_for_outpaint = staticmethod(imaging.transform.pad_for_outpaint)
    stitch_images = staticmethod(imaging.stitch.stitch_images)
    batch_images = staticmethod(imaging.transform.batch_images)
    repeat_images = staticmethod(imaging.transform.repeat_images)
    images_from_batch = staticmethod(imaging.transform.images_from_batch)
    rebatch_images = staticmethod(imaging.transform.rebatch_images)
    prepare_for_clip = staticmethod(imaging.clip_pictures.prepare_for_clip)
    noisy_picture = staticmethod(imaging.clip_noise.noisy_picture)
    scaled_for_kontext = staticmethod(imaging.kontext.scaled_for_kontext)

    scale_image = staticmethod(imaging.resize.scale_image)
    scale_image_by = staticmethod(imaging.resize.scale_image_by)
    scale_image_to_megapixels = staticmethod(imaging.resize.scale_image_to_megapixels)
    scale_image_to_area = staticmethod(imaging.resize.scale_image_to_area)
    scale_image_to_longest = staticmethod(imaging.resize.scale_image_to_longest)
    resize_and_pad = staticmethod(imaging.transform.resize_and_pad)
    invert_image = staticmethod(imaging.colors.invert_image)
    gaussian_blur = staticmethod(imaging.filters.gaussian_blur)
    sharpen = staticmethod(imaging.filters.sharpen)
    blend_images = staticmethod(imaging.filters.blend_images)
    quantize_colors = staticmethod(imaging.quantize.quantize_colors)
    morph = staticmethod(imaging.morphology.morph)
    rgb_to_yuv = staticmethod(imaging.colors.rgb_to_yuv)
    yuv_to_rgb = staticmethod(imaging.colors.yuv_to_rgb)
    add_noise = staticmethod(imaging.colors.add_noise)
    composite_images = staticmethod(imaging.compositing.composite_images)
    canny = staticmethod(preprocessors.canny.canny)

    decode_mask = staticmethod(imaging.decode.decode_mask)
    solid_mask = staticmethod(imaging.masks.solid_mask)
    mask_to_image = staticmethod(imaging.masks.mask_to_image)
    image_to_mask = staticmethod(imaging.masks.image_to_mask)
    color_to_mask = staticmethod(imaging.masks.color_to_mask)
    invert_mask = staticmethod(imaging.masks.invert_mask)
    threshold_mask = staticmethod(imaging.masks.threshold_mask)
    crop_mask = staticmethod(imaging.masks.crop_mask)
    combine_masks = staticmethod(imaging.masks.combine_masks)
    feather_mask = staticmethod(imaging.masks.feather_mask)
    grow_mask = staticmethod(imaging.masks.grow_mask)
    porter_duff = staticmethod(imaging.compositing.porter_duff)
    split_alpha = staticmethod(imaging.compositing.split_alpha)
    join_alpha = staticmethod(imaging.compositing.join_alpha)

    resize_any = staticmethod(imaging.fitting.resize_any)
    batch_pictures = staticmethod(imaging.fitting.batch_pictures)
    fit_image = staticmethod(imaging.fitting.fit_image)
    fit_image_divisible = staticmethod(imaging.fitting.fit_image_divisible)
    fit_image_and_mask = staticmethod(imaging.fitting_padded.fit_image_and_mask)
    grow_masks = staticmethod(imaging.growing.grow_masks)
    resample = staticmethod(imaging.resize.resample)
    match_colors = staticmethod(imaging.color_matching.match_colors)
    sharpen_adaptively = staticmethod(imaging.fitting.sharpen_adaptively)
    crop_at = staticmethod(imaging.fitting.crop_at)

    expand_mask = staticmethod(imaging.inpainting.expand_mask)
    shrink_mask = staticmethod(imaging.inpainting.shrink_mask)
    stabilize_mask = staticmethod(imaging.inpainting.stabilize_mask)
    steepen_mask = staticmethod(imaging.inpainting.steepen_mask)
    mask_bounds = staticmethod(imaging.inpainting.mask_bounds)
    fill_masked = staticmethod(imaging.inpainting.fill_masked)
    blur_masked = staticmethod(imaging.inpainting.blur_masked)
    with_opacity = staticmethod(imaging.inpainting.with_opacity)
    match_lab_colors = staticmethod(imaging.inpainting.match_lab_colors)

    matches = staticmethod(deployments.patterns.matches)
    extract = staticmethod(deployments.patterns.extract)
    replace = staticmethod(deployments.patterns.replace)

    mask_to_segs = staticmethod(imaging.segs.mask_to_segs)
    combined_mask = staticmethod(imaging.segs.combined_mask)
    mask_list = staticmethod(imaging.segs.mask_list)
    mask_batch = staticmethod(imaging.segs.mask_batch)
    within = staticmethod(imaging.segs.within)
    merged = staticmethod(imaging.segs.merged)
    pictures_of = staticmethod(imaging.segs.pictures_of)
    dilate_segs = staticmethod(imaging.segs.dilate_segs)
    blur_segs = staticmethod(imaging.segs.blur_segs)
    dilate_mask = staticmethod(imaging.segs.dilate_mask)
    blur_mask = staticmethod(imaging.segs.blur_mask)
    combine_levels = staticmethod(imaging.segs.combine_levels)
    one_picture = staticmethod(imaging.segs.one_picture)
    scaled_to = staticmethod(imaging.segs.scaled_to)
    drawable = staticmethod(imaging.segs.drawable)
    cut_part = staticmethod(imaging.details.cut_part)
    put_part = staticmethod(imaging.details.put_part)
    paste_parts = staticmethod(imaging.details.paste_parts)
    parts_mask = staticmethod(imaging.details.parts_mask)

    canny_edges = staticmethod(preprocessors.canny_edges.canny_edges)
    pyramid_canny = staticmethod(preprocessors.pyracanny.pyramid_canny)
    scribble = staticmethod(preprocessors.scribble.scribble)
    scribble_xdog = staticmethod(preprocessors.scribble.scribble_xdog)
    binary_lines = staticmethod(preprocessors.binary.binary_lines)
    standard_lineart = staticmethod(preprocessors.lineart_standard.standard_lineart)
    color_palette = staticmethod(preprocessors.color.color_palette)
    shuffle_content = staticmethod(preprocessors.shuffle.shuffle_content)
    tile = staticmethod(preprocessors.tile.tile)
    tile_simple = staticmethod(preprocessors.tile.tile_simple)
    luminance = staticmethod(preprocessors.recolor.luminance)
    intensity = staticmethod(preprocessors.recolor.intensity)
    inpaint_hint = staticmethod(preprocessors.inpaint.inpaint_hint)

    hed_edges = staticmethod(preprocessors.hed.hed_edges)
    pidinet_edges = staticmethod(preprocessors.pidinet.pidinet_edges)
    teed_edges = staticmethod(preprocessors.teed.teed_edges)
    realistic_lineart = staticmethod(preprocessors.lineart.realistic_lineart)
    anime_lineart = staticmethod(preprocessors.lineart_anime.anime_lineart)
    manga_lineart = staticmethod(preprocessors.lineart_manga.manga_lineart)
    straight_lines = staticmethod(preprocessors.mlsd.straight_lines)
    any_lines = staticmethod(preprocessors.anyline.any_lines)

    midas_depth = staticmethod(preprocessors.midas.midas_depth)
    midas_normals = staticmethod(preprocessors.midas.midas_normals)
    zoe_depth = staticmethod(preprocessors.zoe.zoe_depth)
    leres_depth = staticmethod(preprocessors.leres.leres_depth)
    depth_anything = staticmethod(preprocessors.depth_anything.depth_anything)
    depth_anything_v2 = staticmethod(preprocessors.depth_anything.depth_anything_v2)
    bae_normals = staticmethod(preprocessors.normal_bae.bae_normals)

    openpose = staticmethod(preprocessors.openpose.openpose)
    dwpose = staticmethod(preprocessors.dwpose.dwpose)

    find_boxes = staticmethod(preprocessors.yolo_parts.find_boxes)
    find_shapes = staticmethod(preprocessors.yolo_parts.find_shapes)
    sam_mask = staticmethod(preprocessors.sam.sam_mask)
    sam_masks = staticmethod(preprocessors.sam.sam_masks)
    face_keypoints = staticmethod(preprocessors.face_keypoints.face_keypoints)
    faces_of = staticmethod(preprocessors.faces.faces_of)
    swap_faces = staticmethod(preprocessors.face_swap.swap_faces)
    swap_like = staticmethod(preprocessors.face_swap.swap_like)
    face_similarity = staticmethod(preprocessors.face_swap.face_similarity)
    restored_pictures = staticmethod(preprocessors.face_restore.restored_pictures)
    segments_ade20k = staticmethod(preprocessors.oneformer.segments_ade20k)
    segments_coco = staticmethod(preprocessors.oneformer.segments_coco)
    segments_uniformer = staticmethod(preprocessors.uniformer.segments_uniformer)
