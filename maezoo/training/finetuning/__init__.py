"""A classifier from labelled images: the recipe, the model, the task, and how it is judged."""
