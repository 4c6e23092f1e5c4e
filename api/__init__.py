"""HTTP: routes, authorisation, strict input, answers and problem details. Status numbers live here and nowhere else."""
