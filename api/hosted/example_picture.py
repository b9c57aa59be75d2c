"""A white square of 64 by 64 pixels, for example requests."""

PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAABAAQAAAACCEkxzAAAAFElEQVR42mP8zwABTAyj"
    "jFEGyQwAzx8Bf7QK4E8AAAAASUVORK5CYII="
)
