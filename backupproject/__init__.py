"""Settings, URLs and entry points: nothing else."""
