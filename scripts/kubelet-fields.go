// Prints what the kubelet's configuration may hold, for scripts/kubelet-fields: a line `STRUCT FIELD TYPE`
// for each field that KubeletConfiguration reaches, `?` after the type where absent is not zero; and a line
// `FeatureGate NAME DEFAULT` for each feature gate, `locked` after it where no other value is allowed.
package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	utilfeature "k8s.io/apiserver/pkg/util/feature"
	logsapi "k8s.io/component-base/logs/api/v1"
	kubelet "k8s.io/kubelet/config/v1beta1"
	_ "k8s.io/kubernetes/pkg/features"
)

// Types that read and write themselves.
var leaves = []string{"v1.Duration", "v1.TimeOrMetaDuration", "v1.Time", "resource.Quantity", "resource.QuantityValue"}

var seen = map[reflect.Type]bool{}

// name says a type in the table's words, and prints the structs that it holds.
func name(t reflect.Type) string {
	switch {
	case slices.Contains(leaves, t.String()):
		return t.Name()
	case t.Kind() == reflect.Slice:
		return "[]" + name(t.Elem())
	case t.Kind() == reflect.Map:
		return "map " + name(t.Elem())
	case t.Kind() == reflect.Struct:
		defer table(t)
		return t.Name()
	}
	return t.Kind().String()
}

func table(t reflect.Type) {
	if seen[t] {
		return
	}
	seen[t] = true
	for _, line := range fields(t) {
		fmt.Println(t.Name(), line)
	}
}

func fields(t reflect.Type) (lines []string) {
	for i := range t.NumField() {
		field := t.Field(i)
		key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		of := field.Type
		switch {
		case key == "-":
		case field.Anonymous && key == "":
			lines = append(lines, fields(of)...)
		case of.Kind() == reflect.Pointer:
			lines = append(lines, key+" "+name(of.Elem())+"?")
		default:
			lines = append(lines, key+" "+name(of))
		}
	}
	return lines
}

func main() {
	table(reflect.TypeFor[kubelet.KubeletConfiguration]())
	gates := utilfeature.DefaultMutableFeatureGate
	if err := logsapi.AddFeatureGates(gates); err != nil {
		panic(err)
	}
	known := gates.GetAll()
	for _, gate := range slices.Sorted(maps.Keys(known)) {
		fmt.Print("FeatureGate ", gate, " ", known[gate].Default)
		if known[gate].LockToDefault {
			fmt.Print(" locked")
		}
		fmt.Println()
	}
}
