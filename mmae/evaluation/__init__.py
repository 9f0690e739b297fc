"""The evaluation page: redshifts, p(z), lines, images and representation of a trained model."""
