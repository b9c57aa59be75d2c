"""Money as integer millionths of the price list's currency, so that sums are exact."""

from decimal import ROUND_HALF_UP, Decimal

MICROS = 1_000_000
MOST_MICROS = 10**17  # fits a database's 64-bit integer with room for sums


def micros(amount: Decimal | float) -> int:
    """An amount in millionths, rounded to the nearest."""
    exact = Decimal(str(amount)) * MICROS
    return int(exact.to_integral_value(ROUND_HALF_UP))


def amount(of_micros: int) -> float:
    """Millionths as a number for JSON."""
    return of_micros / MICROS
