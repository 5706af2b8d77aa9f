"""What is measured with scores: masking, prediction, modulation, retraining and more."""
