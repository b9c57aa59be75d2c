"""Sigma schedules, and how sigma relates to time, noise and network output."""
