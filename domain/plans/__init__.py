"""Plans, features and packages (S3): what organisations can be on, use and buy. They belong to the platform."""
