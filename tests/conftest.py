"""Settings for all tests."""

from hypothesis import settings

# A busy machine is no finding; pytest-timeout stops what hangs.
settings.register_profile("chalkmark", deadline=None)
settings.load_profile("chalkmark")
