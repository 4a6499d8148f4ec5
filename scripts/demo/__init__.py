"""`make demo`: the whole path once on a made-up Google account, and an independent proof of it."""
