"""What benchmarks rely on; what they measure is `scrip bench`'s own matter."""
