"""The router: signals and policy to a decision. Pure; `decide.decide` is the way in."""
