"""The desks where tickets are worked on, one module a desk."""
