package validate

import (
	"reflect"
	"strings"

	"github.com/go-playground/validator/v10"
)

// message returns what is told about a broken rule in the struct parent.
func message(b validator.FieldError, parent reflect.Type) (code, param, detail string) {
	code, param = b.Tag(), b.Param()
	rule, _, _ := strings.Cut(code, "=") // one of several alternatives has its parameter in the tag
	switch {
	case strings.Contains(code, "|"):
		return clip(code), "", clip(`does not satisfy the rule "` + code + `"`)
	case fieldRules[rule] != "":
		param = jsonName(parent, param)
		detail = fieldRules[rule] + " " + param
	case strings.HasPrefix(rule, "required"):
		param, detail = "", "is required" // a parameter names what the server calls its fields
		if rule != "required" {
			detail = "is required here"
		}
	case strings.HasPrefix(rule, "excluded_"), rule == "isdefault":
		param, detail = "", "is not allowed here"
	case sizeRules[rule] != "":
		detail = size(b, sizeRules[rule])
	case rule == "oneof", rule == "oneofci":
		detail = "must be one of: " + strings.Join(strings.Fields(param), ", ")
	case rule == "noneof", rule == "noneofci":
		detail = "must be none of: " + strings.Join(strings.Fields(param), ", ")
	case sentences[rule] != "":
		detail = sentences[rule]
		if param != "" {
			detail = strings.ReplaceAll(detail, "%", param)
		}
	default:
		param = ""
		detail = `does not satisfy the rule "` + code + `"`
	}
	return clip(code), clip(param), clip(detail)
}

// clip bounds what a tag adds to an answer.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// jsonName returns the name that clients know a field by.
func jsonName(t reflect.Type, field string) string {
	if t != nil && t.Kind() == reflect.Struct {
		if sf, ok := t.FieldByName(field); ok {
			return fieldName(sf)
		}
	}
	return field
}

// sizeRules are the rules whose sentence depends on the kind of the value.
var sizeRules = map[string]string{ //nolint:gochecknoglobals // immutable
	"min": "at least", "gte": "at least", "gt": "more than",
	"max": "at most", "lte": "at most", "lt": "less than",
	"len": "exactly", "eq": "equal to", "ne": "other than",
}

func size(b validator.FieldError, how string) string {
	rule, param := b.Tag(), b.Param()
	switch b.Kind() {
	case reflect.Struct: // a time, against now
		switch rule {
		case "gt", "gte", "min":
			return "must be in the future"
		default:
			return "must be in the past"
		}
	case reflect.Slice, reflect.Array, reflect.Map:
		what := "elements"
		if b.Kind() == reflect.Map {
			what = "members"
		}
		switch rule {
		case "eq":
			how = "exactly"
		case "ne":
			return "must not have exactly " + count(param, what)
		}
		return "must have " + how + " " + count(param, what)
	case reflect.String:
		switch rule {
		case "eq", "ne":
			return "must be " + how + " " + param
		}
		return "must be " + how + " " + count(param, "characters") + " long"
	}
	if rule == "len" {
		how = "equal to"
	}
	return "must be " + how + " " + param
}

func count(n, what string) string {
	if n == "1" {
		what = strings.TrimSuffix(what, "s")
	}
	return n + " " + what
}

// sentences are for the rules that people use; % stands for the parameter.
var sentences = map[string]string{ //nolint:gochecknoglobals,gosec // immutable, and no credentials
	"email":                   "must be an e-mail address",
	"url":                     "must be a URL",
	"http_url":                "must be an http or https URL",
	"https_url":               "must be an https URL",
	"uri":                     "must be a URI",
	"uuid":                    "must be a UUID",
	"uuid_rfc4122":            "must be a UUID",
	"uuid3":                   "must be a UUID of version 3",
	"uuid4":                   "must be a UUID of version 4",
	"uuid5":                   "must be a UUID of version 5",
	"uuid7":                   "must be a UUID of version 7",
	"ulid":                    "must be a ULID",
	"e164":                    "must be a phone number such as +4930123456",
	"alpha":                   "must consist of the letters A to Z",
	"alphanum":                "must consist of the letters A to Z and digits",
	"alphaspace":              "must consist of the letters A to Z and spaces",
	"alphanumspace":           "must consist of the letters A to Z, digits and spaces",
	"alphaunicode":            "must consist of letters",
	"alphanumunicode":         "must consist of letters and digits",
	"numeric":                 "must be a number",
	"number":                  "must consist of digits",
	"boolean":                 "must be true or false",
	"hexadecimal":             "must consist of hexadecimal digits",
	"hexcolor":                "must be a colour such as #00ff00",
	"ascii":                   "must consist of ASCII characters",
	"printascii":              "must consist of printable ASCII characters",
	"lowercase":               "must be in lower case",
	"uppercase":               "must be in upper case",
	"contains":                "must contain %",
	"containsany":             "must contain one of the characters %",
	"excludes":                "must not contain %",
	"excludesall":             "must not contain any of the characters %",
	"startswith":              "must begin with %",
	"startsnotwith":           "must not begin with %",
	"endswith":                "must end with %",
	"endsnotwith":             "must not end with %",
	"eq_ignore_case":          "must be equal to %",
	"ne_ignore_case":          "must be other than %",
	"unique":                  "must not hold the same value twice",
	"base64":                  "must be Base64",
	"base64url":               "must be Base64 for URLs",
	"base64rawurl":            "must be Base64 for URLs without padding",
	"json":                    "must be JSON",
	"jwt":                     "must be a JSON Web Token",
	"semver":                  "must be a version such as 1.2.3",
	"ip":                      "must be an IP address",
	"ipv4":                    "must be an IPv4 address",
	"ipv6":                    "must be an IPv6 address",
	"cidr":                    "must be an IP network such as 192.0.2.0/24",
	"cidrv4":                  "must be an IPv4 network such as 192.0.2.0/24",
	"cidrv6":                  "must be an IPv6 network such as 2001:db8::/32",
	"mac":                     "must be a MAC address",
	"hostname":                "must be a host name",
	"hostname_rfc1123":        "must be a host name",
	"hostname_port":           "must be a host and port",
	"fqdn":                    "must be a full domain name",
	"port":                    "must be a port number",
	"datetime":                "must be a date or time in the form of %",
	"duration":                "must be a duration such as 1h30m",
	"timezone":                "must be a time zone such as Europe/Berlin",
	"latitude":                "must be a latitude",
	"longitude":               "must be a longitude",
	"credit_card":             "must be a card number",
	"luhn_checksum":           "must have a right check digit",
	"isbn":                    "must be an ISBN",
	"bic":                     "must be a BIC",
	"iso4217":                 "must be a currency code such as EUR",
	"iso3166_1_alpha2":        "must be a country code such as DE",
	"iso3166_1_alpha3":        "must be a country code such as DEU",
	"country_code":            "must be a country code",
	"bcp47_language_tag":      "must be a language tag such as de-CH",
	"iscolor":                 "must be a colour",
	"postcode_iso3166_alpha2": "must be a postcode of %",
	"cron":                    "must be a cron expression",
}
