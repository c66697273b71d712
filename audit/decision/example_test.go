package decision_test

import (
	"context"
	"fmt"

	"github.com/gatehouse-go/gatehouse/audit/decision"
)

// A layer of your own reports like the layers of this library.
func ExampleAdd() {
	record := decision.NewRecord("6f1c") // package audit does this
	ctx := decision.NewContext(context.Background(), record)

	decision.Add(ctx, decision.Decision{
		Layer: "maintenance", Effect: decision.Deny, Reason: "closed", Status: 503,
	})

	for _, d := range record.Seal().Decisions {
		fmt.Println(d.Layer, d.Effect, d.Reason, d.Status)
	}
	// Output: maintenance deny closed 503
}
