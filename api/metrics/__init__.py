"""Health and metrics: GET /healthz and /metrics, and what they count."""
