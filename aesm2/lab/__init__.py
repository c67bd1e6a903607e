"""Training runs that outlive who started them: queued, watched, paused, resumed, promoted.

Everything stands in files of one folder, so that any number of readers see the same.
"""
