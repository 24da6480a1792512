"""Is a data set what it says it is?"""
