"""The delays between delivery attempts of a webhook. This module imports nothing."""

MINUTE_S, HOUR_S = 60.0, 3600.0
DELAYS_S = (  # before the second try, the third ...: a day in all
    5.0,
    30.0,
    2 * MINUTE_S,
    10 * MINUTE_S,
    30 * MINUTE_S,
    HOUR_S,
    3 * HOUR_S,
    6 * HOUR_S,
    12 * HOUR_S,
)
