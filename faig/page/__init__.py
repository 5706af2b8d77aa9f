"""The report's page: a run's results as one HTML file that needs nothing else."""
