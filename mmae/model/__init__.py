"""The networks in plain torch: modalities, masks, encoder, decoder, p(z), baselines."""
