"""How the weights in `export/zoo` were made: data in, weights and a record of the making out."""
