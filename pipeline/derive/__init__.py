"""How one data set is made of another, without its images being fetched or annotated again."""
