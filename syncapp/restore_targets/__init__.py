"""Where restored files go; one file a kind, behind the contract of `base.py`."""
