// Command manifest checks Kubernetes manifests against the types of Kubernetes' API: a field
// that the API does not have, or a value of another type, is an error; so are labels that a
// selector does not match, and mounts of volumes that are not there.
//
//	go run . FILE...
//
// It is a module of its own: k8s.io/api is no dependency of dx.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

func main() {
	failed := false
	for _, file := range os.Args[1:] {
		if err := check(file); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", file, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

func check(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for i, document := range bytes.Split(b, []byte("\n---\n")) {
		if err := checkOne(document); err != nil {
			return fmt.Errorf("document %d: %w", i+1, err)
		}
	}
	return nil
}

func checkOne(document []byte) error {
	var is metav1.TypeMeta
	if err := yaml.Unmarshal(document, &is); err != nil {
		return err
	}
	switch is.APIVersion + " " + is.Kind {
	case "v1 Namespace":
		return strict(document, &corev1.Namespace{})
	case "v1 Pod":
		var pod corev1.Pod
		return errors.Join(strict(document, &pod), checkPod(pod.Spec))
	case "apps/v1 DaemonSet":
		var set appsv1.DaemonSet
		return errors.Join(strict(document, &set), checkSet(set))
	}
	return fmt.Errorf("%s %s is not known to this check", is.APIVersion, is.Kind)
}

// strict decodes as the API server does with fieldValidation=Strict: letter case counts.
func strict(document []byte, to any) error {
	b, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return err
	}
	unknown, err := json.UnmarshalStrict(b, to)
	return errors.Join(append(unknown, err)...)
}

func checkSet(set appsv1.DaemonSet) error {
	selector, err := metav1.LabelSelectorAsMap(set.Spec.Selector)
	for key, value := range selector {
		if set.Spec.Template.Labels[key] != value {
			err = errors.Join(err, fmt.Errorf("the template has no label %s=%s", key, value))
		}
	}
	return errors.Join(err, checkPod(set.Spec.Template.Spec))
}

func checkPod(spec corev1.PodSpec) error {
	volumes := map[string]bool{}
	for _, v := range spec.Volumes {
		volumes[v.Name] = true
	}
	var errs []error
	for _, c := range append(spec.InitContainers, spec.Containers...) {
		if c.Name == "" || c.Image == "" {
			errs = append(errs, errors.New("a container has no name or no image"))
		}
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				errs = append(errs, fmt.Errorf("%s mounts %s, which is no volume", c.Name, m.Name))
			}
		}
	}
	if len(spec.Containers) == 0 {
		errs = append(errs, errors.New("no container"))
	}
	return errors.Join(errs...)
}
