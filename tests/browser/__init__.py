"""The console and the components in a real Chromium, on the whole service."""
