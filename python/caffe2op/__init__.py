"""Atomic operations, locks and an asynchronous net executor on NumPy memory."""
