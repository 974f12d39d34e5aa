"""The servers that --local starts: real ones, gone afterwards."""
