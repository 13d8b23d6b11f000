"""Learning in use: labelled examples, training, promotion, limits, the model card and the city's own words."""
