"""The default model, trained by this project: its network, its predictor and its weights."""
