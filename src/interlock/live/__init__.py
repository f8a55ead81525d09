"""What finished records say of the routes that served them: measures of one request, figures of many.

Pure: records in, numbers out. Everything that watches routes goes by these definitions, so that a figure on a
page, an exported metric and a guardrail of the same name are the same number.
"""
