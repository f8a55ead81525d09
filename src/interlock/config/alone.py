"""A config for whoever asks one model and wants that model's answer."""

import hashlib

import msgspec

from interlock.config.checked import Config, encode


def without_fallbacks(config: Config) -> Config:
    """The config as it would be without fallbacks: another revision, under its own hash, kept like the
    others.
    """
    alone = msgspec.structs.replace(config, fallbacks=(), config_hash="", policy_hash="")
    digest = hashlib.sha256(encode(alone)).hexdigest()[:16]
    return msgspec.structs.replace(alone, config_hash=digest, policy_hash=config.policy_hash)
