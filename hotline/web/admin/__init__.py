"""What administrators keep: accounts and settings, catalogue, territory, words and the model."""
