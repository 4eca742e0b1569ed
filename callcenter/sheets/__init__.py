"""Agents and contacts as spreadsheets: CSV and XLSX, in and out, by the admin's pages."""
