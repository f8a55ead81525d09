"""The classifier: a request becomes signals. Pure; it reads no clock and calls no model.

`classify` is the way in; `detect.scan` is what finds keys, cards and ids in any text.
"""

from interlock.classify.classify import classify as classify
