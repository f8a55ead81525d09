"""What finished records say of the routes that served them: measures of one request, figures of many.

Pure: records in, numbers out. What watches routes goes by these definitions, so that a figure on a page and
an exported metric of the same name are the same number.
"""
