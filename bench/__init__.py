"""Benchmarks: the product against rclone, on the same stand-ins, in one run. See RESULTS.md."""
