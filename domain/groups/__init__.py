"""Groups (S1): users who share limits for images and videos, and team quotas for plan tokens (S3)."""
