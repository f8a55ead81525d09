"""Policy: rules over signals that can only restrict. Pure; who is a candidate is `route`'s business."""
