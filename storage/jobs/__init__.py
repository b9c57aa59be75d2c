"""Job records, leases, the queue, charges and webhooks, in the database."""
