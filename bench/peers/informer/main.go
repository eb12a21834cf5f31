// Command informer caches what the operator caches, by client-go's shared informers, and does nothing else: the memory that
// an operator in Go begins with. Its best mode: typed objects (not maps), without managedFields.
//
// I/O: informer KUBECONFIG: lists and watches titles, Jobs and pods; prints a line when it has them all and has rested.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// After so long the collector has run several times and given memory back.
const pause = 30 * time.Second

// Title has the fields of a TitleEnrichment that is finished.
type Title struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Source struct {
			Store string `json:"store"`
			Path  string `json:"path"`
		} `json:"source"`
		Shots struct {
			Enabled bool `json:"enabled"`
		} `json:"shots"`
		Thumbnails struct {
			Enabled        bool   `json:"enabled"`
			Select         int32  `json:"select"`
			SpriteInterval string `json:"spriteInterval"`
		} `json:"thumbnails"`
		Subtitles struct {
			Enabled  bool   `json:"enabled"`
			Language string `json:"language"`
		} `json:"subtitles"`
		Execution struct {
			Accelerator   string `json:"accelerator"`
			Retries       int32  `json:"retries"`
			StartDeadline string `json:"startDeadline"`
			MaxDuration   string `json:"maxDuration"`
		} `json:"execution"`
		Deadline string `json:"deadline"`
		Suspend  bool   `json:"suspend"`
	} `json:"spec"`
	Status struct {
		ObservedGeneration int64              `json:"observedGeneration"`
		Phase              string             `json:"phase"`
		Progress           string             `json:"progress"`
		Conditions         []metav1.Condition `json:"conditions"`
		Source             struct {
			Store     string `json:"store"`
			Path      string `json:"path"`
			Version   string `json:"version"`
			ETag      string `json:"etag"`
			SizeBytes int64  `json:"sizeBytes"`
		} `json:"source"`
		Media struct {
			Container string `json:"container"`
			Duration  string `json:"duration"`
			Video     string `json:"video"`
			Audio     string `json:"audio"`
		} `json:"media"`
		Steps []struct {
			Name     string   `json:"name"`
			State    string   `json:"state"`
			Wanted   string   `json:"wanted"`
			Key      string   `json:"key"`
			Result   string   `json:"result"`
			Reason   string   `json:"reason"`
			Message  string   `json:"message"`
			Attempts int32    `json:"attempts"`
			Lost     int32    `json:"lost"`
			Models   []string `json:"models"`
			Settings string   `json:"settings"`
			Took     string   `json:"took"`
		} `json:"steps"`
		History []struct {
			Job          string      `json:"job"`
			Unit         string      `json:"unit"`
			Number       int32       `json:"number"`
			Outcome      string      `json:"outcome"`
			Counted      bool        `json:"counted"`
			Ended        metav1.Time `json:"ended"`
			Result       string      `json:"result"`
			CostEstimate string      `json:"costEstimate"`
		} `json:"history"`
		DeadlineAt *metav1.Time `json:"deadlineAt"`
		Refreshed  string       `json:"refreshed"`
		Published  struct {
			Digest   string      `json:"digest"`
			Contents string      `json:"contents"`
			Folder   string      `json:"folder"`
			At       metav1.Time `json:"at"`
		} `json:"published"`
	} `json:"status"`
}

// TitleList is a page of them.
type TitleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []Title `json:"items"`
}

// DeepCopyObject is asked for by the interface; nothing here changes an object.
func (title *Title) DeepCopyObject() runtime.Object { twin := *title; return &twin }

// DeepCopyObject: see above.
func (list *TitleList) DeepCopyObject() runtime.Object { twin := *list; return &twin }

func main() {
	config, err := clientcmd.BuildConfigFromFlags("", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	group := schema.GroupVersion{Group: "showrunner.dev", Version: "v1alpha1"}
	scheme := runtime.NewScheme()
	scheme.AddKnownTypeWithName(group.WithKind("TitleEnrichment"), &Title{})
	scheme.AddKnownTypeWithName(group.WithKind("TitleEnrichmentList"), &TitleList{})
	metav1.AddToGroupVersion(scheme, group)
	ours := rest.CopyConfig(config)
	ours.GroupVersion, ours.APIPath = &group, "/apis"
	ours.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(ours)
	if err != nil {
		log.Fatal(err)
	}
	strip := func(object any) (any, error) {
		if accessor, err := meta.Accessor(object); err == nil {
			accessor.SetManagedFields(nil)
		}
		return object, nil
	}
	titles := cache.NewSharedIndexInformer(cache.NewListWatchFromClient(client, "titleenrichments", "", fields.Everything()), &Title{}, 0,
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	selects := func(options *metav1.ListOptions) { options.LabelSelector = "app.kubernetes.io/managed-by=showrunner" }
	factory := informers.NewSharedInformerFactoryWithOptions(kubernetes.NewForConfigOrDie(config), 0, informers.WithTransform(strip), informers.WithTweakListOptions(selects))
	jobs, pods := factory.Batch().V1().Jobs().Informer(), factory.Core().V1().Pods().Informer()
	if err := titles.SetTransform(strip); err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	factory.Start(ctx.Done())
	go titles.Run(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), titles.HasSynced, jobs.HasSynced, pods.HasSynced) {
		log.Fatal("failed to fill the caches")
	}
	time.Sleep(pause)
	fmt.Println("synced", len(titles.GetStore().ListKeys()), "titles")
	select {}
}
