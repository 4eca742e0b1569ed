"""What cannot be done now, in a sentence for whoever asked."""


class Refused(Exception):
    """A wish that cannot be granted now; its text is a translated sentence, shown as it is."""
