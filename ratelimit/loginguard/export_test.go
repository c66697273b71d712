package loginguard

// Fold is what accounts are folded by without a Config.Fold.
var Fold = fold
