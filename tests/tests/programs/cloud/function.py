"""Functions of Google's own framework, to hold our answers against."""

import functions_framework


@functions_framework.cloud_event
def cloudevent(event):
    pass


def event(data, context):
    pass
