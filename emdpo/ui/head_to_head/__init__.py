"""The Compare page: methods of the field on the same rankings."""
