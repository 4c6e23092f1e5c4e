"""`scrip doctor`: what is wrong with an installation, found by families of checks, one file each."""
