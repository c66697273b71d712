package mtls

// IsSPIFFE is the check of a SPIFFE ID.
var IsSPIFFE = isSPIFFE
