"""What is run by hand beside the pipeline."""

import stages as stages  # says how threads wait, before PyTorch is imported
