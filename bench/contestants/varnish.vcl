# Varnish in front of one origin. What stands between at signs is filled in by src/bench/contestants/varnish.ts; the
# options of the program are in varnish.sh.
#
# The built-in rules do what is wanted: requests here have no cookies, responses say max-age, and concurrent misses of one
# object are one request to the origin.
vcl 4.1;

backend origin {
	.host = "@HOST@";
	.port = "@PORT@";
}
